"""What a student meets: the set-up of a notebook, its panels, its what-if studies, the reader study, readiness."""

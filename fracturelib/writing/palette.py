"""The colours of figures, pages and panels, each with one name and one meaning."""

CLASS_COLOURS = ("#0072B2", "#D55E00")  # the position is the label: blue, orange ("vermillion" in Okabe and Ito, 2008)
TRAINING, VALIDATION, INK, FAINT = "#7F7F7F", "#009E73", "#222222", "#8C8C8C"

"""A published reader study: the ratings, and what two independent programs found in them.

C. W. Van Dyke, R. D. White, N. A. Obuchowski and others, "Cine MRI in the diagnosis of thoracic aortic dissection",
79th RSNA Meeting, Chicago, 1993: five readers, 45 patients with a dissection and 69 without, each seen by spin-echo and
by cine MRI, rated from 1 (definitely none) to 5 (definitely one). The ratings come with many programs for such studies,
among them the R package MRMCbinary under the MIT licence (S. Lee and W. Lee, 2025).
"""

import pandas as pd

DISEASED = 45  # the first so many ratings of each row
RATINGS = {
    (1, "spin echo"): "555545554555434245555555154454553555115554451"
    "122151111111411111111131311214111113121211233131133111111221111332111",
    (1, "cine"): "535555554555544335555555355355554455535555551"
    "333222223213122222211111421312214323123122233111333113412421241442111",
    (2, "spin echo"): "535555542555442225555555243354552425225555352"
    "232222222322522232222222422223222222222222222222222222222432232222222",
    (2, "cine"): "535555552555344245455545252355532425525555552"
    "322222223222222122221222322222212212222231223222222222322322222222122",
    (3, "spin echo"): "545555555555542355555555252255552555225555552"
    "222235112242422232221232411322112224121412112222223211211221151421212",
    (3, "cine"): "525555555555354145555555253355543555534555551"
    "242222322211132222121121411512112122212221132111233113221232341242121",
    (4, "spin echo"): "555555555555555155555555554544553555125555555"
    "111111311111111111112111211112111111111111111111331111111111111311111",
    (4, "cine"): "545555554555455555555555455445555555535555555"
    "221111312111122111211111321212111122112111112121212211111212111323211",
    (5, "spin echo"): "525255551545452235555554144322151515115553552"
    "351211112221211122113221111211211231221113332111211111111341231212113",
    (5, "cine"): "525455555455343335555555251332532545533555553"
    "223122221222111222122212322321212222112121132122332122221222231233111",
}

# Found by OR-DBM MRMC 2.51 (University of Iowa, jackknife), and to more digits by MRMCaov 0.1.8 for R.
AUCS = {
    "spin echo": [0.91964573, 0.85877617, 0.90386473, 0.97310789, 0.82979066],
    "cine": [0.94782609, 0.90531401, 0.92173913, 0.99935588, 0.92995169],
}
COVARIANCES = {"error": 0.0008022883, "cov1": 0.0003466137, "cov2": 0.0003440748, "cov3": 0.0002390284}
# By what was drawn at random: F (chi-square over its degrees of freedom), df, p, and error and ends of the difference.
TESTS = {
    "readers and cases": (4.456319, 15.25967, 0.05166569, 0.02074862, -0.0003588544, 0.0879594986),
    "cases": (5.47595, float("inf"), 0.0193, 0.01872, 0.00711, 0.08049),
    "readers": (8.70, 4, 0.0420, 0.01485, 0.00258, 0.08502),
}
# The same for each modality: mean AUC, standard error, df, ends.
MEANS = {
    "readers and cases": [
        (0.89703704, 0.03317360, 12.74465, 0.82522360, 0.96885048),
        (0.94083736, 0.02156637, 12.71019, 0.89413783, 0.98753689),
    ],
    "cases": [
        (0.89703704, 0.02428971, float("inf"), 0.84943008, 0.94464399),
        (0.94083736, 0.01677632, float("inf"), 0.90795637, 0.97371835),
    ],
    "readers": [
        (0.89703704, 0.02482994, 4, 0.82809808, 0.96597599),
        (0.94083736, 0.01615303, 4, 0.89598936, 0.98568536),
    ],
}


def van_dyke() -> pd.DataFrame:
    """The study in the form of `multireader_analysis`."""
    return pd.DataFrame(
        {"reader": reader, "modality": modality, "case": case, "truth": int(case < DISEASED), "confidence": int(rating)}
        for (reader, modality), ratings in RATINGS.items()
        for case, rating in enumerate(ratings)
    )

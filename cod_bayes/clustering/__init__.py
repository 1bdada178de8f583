"""Items of similar difficulty together.

ball_sums -> mean_shift -> estimator (for scikit-learn), features -> clusters (what is fitted)
    -> labels

May import: evidence, ingest.
"""

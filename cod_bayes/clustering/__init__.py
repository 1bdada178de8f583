"""Items of similar difficulty together. Imports `evidence`.

ball_sums -> mean_shift -> estimator (for scikit-learn), clusters (what is fitted)
"""

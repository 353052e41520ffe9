"""Trains boosted trees on generated data with the real trainers and writes what they say of rows.

usage: train.py DIRECTORY [TREES] [ROWS]

For every case: CASE.model, as the trainer saves it, and CASE.rows, JSON lines with "features" (null is missing), "raw"
(the trainer's raw score) and "p" (its probability). The features are named f0, f1, …; f4 and f5 are categories. The
data hold missing values, exact zeros, tiny numbers, float32 ties and, in the rows, values that training never saw.
"""

import json
import os
import sys

import lightgbm
import numpy as np
import xgboost

directory = sys.argv[1]
TREES = int(sys.argv[2]) if len(sys.argv) > 2 else 500
ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
TRAIN = 6000
FEATURES = 8
NAMES = [f"f{i}" for i in range(FEATURES)]
CATEGORIES = [4, 5]


def data(rng, n, missing=0.15, zeros=0.15):
    x = rng.normal(size=(n, FEATURES))
    x[:, 1] = np.exp(3 * x[:, 1])  # skewed like money
    x[:, 2] = np.round(x[:, 2] * 2)  # few values, many ties
    x[:, 4] = rng.integers(0, 90, size=n)
    x[:, 5] = rng.integers(0, 5, size=n)
    x[:, 6] = rng.integers(0, 400, size=n)  # a count
    if zeros:
        x[:, :4][rng.random((n, 4)) < zeros] = 0
        x[:, 3][rng.random(n) < 0.05] = 1e-36  # LightGBM takes it for zero
        x[:, 3][rng.random(n) < 0.05] = -1e-36
    if missing:
        x[rng.random((n, FEATURES)) < missing] = np.nan
    return x


def outcome(rng, x):
    v = np.nan_to_num(x)
    z = v[:, 0] - 0.7 * np.log1p(np.abs(v[:, 1])) + 0.3 * v[:, 2] * v[:, 0] + 1.2 * (v[:, 4].astype(int) % 3 == 0)
    z += 0.8 * np.isnan(x[:, 3]) - 0.5 * (v[:, 3] == 0) + 0.004 * v[:, 6] - 0.4 * v[:, 5] + 0.5
    return (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(int)


def asked(rng, trained):
    """Rows to score: fresh ones, some of the training's, and values that no training row has."""
    x = data(rng, ROWS)
    k = ROWS // 4
    x[:k] = trained[:k]
    strange = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, -1e-35, -0.5, -1, 2.5, 1e30, -1e30, 31, 32, 95, 96, 97, 1000, 1e7]
    for i in range(k, 2 * k):
        x[i, rng.integers(0, FEATURES)] = strange[i % len(strange)]
    return x


def write(case, model, x, raw, p):
    model.save_model(os.path.join(directory, case + ".model.json"))
    os.rename(os.path.join(directory, case + ".model.json"), os.path.join(directory, case + ".model"))
    with open(os.path.join(directory, case + ".rows"), "w") as f:
        for row, r, q in zip(x, raw, p):
            features = [None if np.isnan(v) else float(v) for v in row]
            f.write(json.dumps({"features": features, "raw": float(r), "p": float(q)}) + "\n")


def light(case, seed, missing=0.15, zeros=0.15, categories=CATEGORIES, **params):
    rng = np.random.default_rng(seed)
    x = data(rng, TRAIN, missing, zeros)
    y = outcome(rng, x)
    settings = dict(objective="binary", verbosity=-1, seed=seed, num_threads=1, deterministic=True, min_data_in_leaf=5)
    settings.update(params)
    rounds = settings.pop("rounds", TREES)
    # The zero-as-missing switch belongs to the data set as much as to the model.
    both = {k: v for k, v in settings.items() if k in ("zero_as_missing", "use_missing")}
    train = lightgbm.Dataset(x, y, feature_name=NAMES, categorical_feature=categories, params=both | {"verbosity": -1})
    model = lightgbm.train(settings, train, num_boost_round=rounds)
    rows = asked(rng, x)
    write(case, model, rows, model.predict(rows, raw_score=True), model.predict(rows))


def xgb(case, seed, missing=0.15, categories=CATEGORIES, **params):
    rng = np.random.default_rng(seed)
    x = data(rng, TRAIN, missing)
    y = outcome(rng, x)
    types = ["c" if i in categories else "float" for i in range(FEATURES)]
    settings = dict(objective="binary:logistic", seed=seed, nthread=1)
    settings.update(params)
    rounds = settings.pop("rounds", TREES)

    def matrix(rows, label=None):
        return xgboost.DMatrix(rows, label, feature_names=NAMES, feature_types=types, enable_categorical=True)

    model = xgboost.train(settings, matrix(x, y), num_boost_round=rounds)
    rows = asked(rng, x)
    if categories:  # XGBoost refuses categories below zero and fractions nowhere; keep those it takes
        for c in categories:
            rows[:, c] = np.where(rows[:, c] < 0, np.nan, rows[:, c])
    write(case, model, rows, model.predict(matrix(rows), output_margin=True), model.predict(matrix(rows)))


light("lightgbm", 1, learning_rate=0.05)
light("lightgbm_numeric", 2, categories=[], learning_rate=0.05)
light("lightgbm_zero", 3, zero_as_missing=True)
light("lightgbm_full", 4, missing=0)  # missing type None: NaN in the rows alone
light("lightgbm_no_missing", 5, use_missing=False)
light("lightgbm_deep", 6, num_leaves=255, min_data_in_leaf=1, rounds=max(TREES // 10, 2))
light("lightgbm_stump", 7, min_gain_to_split=1e9, rounds=3)  # one leaf and nothing else
light("lightgbm_onehot", 8, max_cat_to_onehot=100)
light("lightgbm_dart", 9, boosting="dart", rounds=max(TREES // 5, 2))

xgb("xgboost", 11, eta=0.05)
xgb("xgboost_numeric", 12, categories=[], eta=0.05)
xgb("xgboost_full", 13, missing=0)
xgb("xgboost_onehot", 14, max_cat_to_onehot=100)
xgb("xgboost_forest", 15, num_parallel_tree=4, subsample=0.5, rounds=max(TREES // 4, 1))
xgb("xgboost_lossguide", 16, grow_policy="lossguide", max_leaves=63, max_depth=0, tree_method="hist")
xgb("xgboost_base", 17, base_score=0.2, scale_pos_weight=3.0, rounds=max(TREES // 5, 2))

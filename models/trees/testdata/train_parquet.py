"""Trains on a training set in Parquet, as droplift exports it, and writes models and scores like train.py.

usage: train_parquet.py FILE DIRECTORY FEATURE...
"""

import json
import os
import sys

import lightgbm
import numpy as np
import pyarrow.parquet
import xgboost

path, directory, names = sys.argv[1], sys.argv[2], sys.argv[3:]
table = pyarrow.parquet.read_table(path)
labelled = table.filter(pyarrow.compute.is_valid(table["churned"]))
x = np.column_stack([labelled[n].cast("float64").to_numpy(zero_copy_only=False) for n in names])
y = labelled["churned"].cast("int8").to_numpy(zero_copy_only=False)


def write(case, model, raw, p):
    saved = os.path.join(directory, case + ".json")
    model.save_model(saved)
    os.rename(saved, os.path.join(directory, case + ".model"))
    with open(os.path.join(directory, case + ".rows"), "w") as f:
        for row, r, q in zip(x[:1000], raw, p):
            f.write(json.dumps({"features": [None if np.isnan(v) else float(v) for v in row], "raw": float(r), "p": float(q)}) + "\n")


light = lightgbm.train(dict(objective="binary", verbosity=-1, seed=1, num_threads=1, learning_rate=0.05),
                       lightgbm.Dataset(x, y, feature_name=names), num_boost_round=500)
write("lightgbm", light, light.predict(x[:1000], raw_score=True), light.predict(x[:1000]))
matrix = xgboost.DMatrix(x, y, feature_names=names)
xgb = xgboost.train(dict(objective="binary:logistic", seed=1, nthread=1, eta=0.05), matrix, num_boost_round=500)
rows = xgboost.DMatrix(x[:1000], feature_names=names)
write("xgboost", xgb, xgb.predict(rows, output_margin=True), xgb.predict(rows))

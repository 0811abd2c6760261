"""Gradient-boosted trees by two libraries, each saved in the library's own text format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from features.columns import Floats, Ints
from training.regressor import Parameters, Regressor, Table, shares

if TYPE_CHECKING:
    import lightgbm
    import xgboost
    from optuna.trial import BaseTrial


class LightGBMRegressor:
    """A fitted LightGBM booster; predicts on one thread, since one row gains nothing from more."""

    suffix: ClassVar[str] = ".lgb.txt"

    def __init__(self, booster: lightgbm.Booster) -> None:
        self.booster = booster

    def predict(self, matrix: Floats) -> Floats:
        """Return one value per row."""
        return np.asarray(self.booster.predict(matrix, num_threads=1), dtype=np.float64)

    def importance(self) -> Floats:
        """Return each column's share of the total gain."""
        return shares(np.asarray(self.booster.feature_importance("gain"), dtype=np.float64))

    def save(self, path: Path) -> None:
        """Write the booster as text."""
        path.write_text(self.booster.model_to_string(), encoding="utf-8")


class LightGBMClassifier(LightGBMRegressor):
    """A fitted booster of yes and no: `predict` returns the probability of yes, before any calibration."""

    def margin(self, matrix: Floats) -> Floats:
        """Return the log odds of each row."""
        return np.asarray(self.booster.predict(matrix, raw_score=True, num_threads=1), dtype=np.float64)

    def contributions(self, matrix: Floats) -> Floats:
        """Return what each column adds to the log odds, shape (rows, columns): exact Shapley values of the trees.

        TreeSHAP (Lundberg et al., 2020); without the last column, what trees expect of a row of which nothing is known.
        """
        found = self.booster.predict(matrix, pred_contrib=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)[:, :-1]


class LightGBM:
    """Gradient-boosted trees grown leaf by leaf (Ke et al., 2017)."""

    name: ClassVar[str] = "lightgbm"
    suffix: ClassVar[str] = LightGBMRegressor.suffix
    fitted: ClassVar[type[LightGBMRegressor]] = LightGBMRegressor
    defaults: ClassVar[Parameters] = {
        "rounds": 150,
        "learning_rate": 0.05,
        "num_leaves": 31,
        "min_data_in_leaf": 40,
        "feature_fraction": 0.5,
        "bagging_fraction": 0.7,
        "lambda_l2": 5.0,
    }
    fixed: ClassVar[Parameters] = {
        "objective": "huber",  # outcomes have heavy tails: beyond `alpha` in log an error counts by its size
        "alpha": 1.0,
        "bagging_freq": 1,
        "cat_smooth": 20,
        "min_data_per_group": 50,
        "deterministic": True,
        "force_row_wise": True,
    }
    binning: ClassVar[Parameters] = {
        "max_bin": 127,
        # Otherwise columns that no leaf of the first fit's size can split would be lost to all later fits.
        "feature_pre_filter": False,
        "num_threads": 1,
        "verbose": -1,
    }

    def suggest(self, trial: BaseTrial, /) -> dict[str, Any]:
        """Draw parameters from the search space."""
        return {
            "rounds": trial.suggest_int("rounds", 30, 250, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.025, 0.15, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 7, 63, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 10, 160, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 0.8),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 0.9),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.5, 100.0, log=True),
        }

    def fit(
        self,
        table: Table,
        target: Floats,
        rows: Ints,
        *,
        parameters: Parameters,
        seed: int,
        weight: Floats | None = None,
    ) -> Regressor:
        """Fit to some rows of a table, whose values are sorted into bins at the first fit to the same rows only.

        Bins of a whole table could serve any of its rows by `Dataset.subset`, but training on such a part writes
        beyond its memory (seen with LightGBM 4.7.0).
        """
        import lightgbm

        run = {**self.fixed, **parameters, "seed": seed, **self.binning}
        rounds = run.pop("rounds")
        if len(rows) == 1:
            run["bagging_fraction"] = 1.0  # a share of one row is none, which LightGBM refuses
        # Weights once given stay with bins, so that fits without any have bins of their own.
        data = table.once((self.name, rows.tobytes(), weight is None), lambda: self._bins(table, rows))
        data.set_label(target[rows])
        if weight is not None:
            data.set_weight(weight[rows])
        return self.fitted(lightgbm.train(run, data, int(rounds)))

    def load(self, path: Path) -> Regressor:
        """Read what `save` wrote."""
        import lightgbm

        return self.fitted(lightgbm.Booster(model_file=str(path)))

    def _bins(self, table: Table, rows: Ints) -> lightgbm.Dataset:
        import lightgbm

        categorical = [name for name in table.names if name in table.categorical]
        data = lightgbm.Dataset(
            table.matrix[rows],
            feature_name=list(table.names),
            categorical_feature=categorical,
            params=dict(self.binning),
        )
        return data.construct()


class LightGBMBinary(LightGBM):
    """Trees that learn the odds of yes: fewer and smaller than those of outcomes, since one row in ten says yes.

    They are also asked for what each column adds, which takes several times as long as the odds and more with leaves.
    """

    name: ClassVar[str] = "lightgbm_binary"
    fitted: ClassVar[type[LightGBMRegressor]] = LightGBMClassifier
    defaults: ClassVar[Parameters] = {
        "rounds": 100,
        "learning_rate": 0.05,
        "num_leaves": 9,
        "min_data_in_leaf": 80,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.7,
        "lambda_l2": 20.0,
    }
    fixed: ClassVar[Parameters] = {
        **{name: value for name, value in LightGBM.fixed.items() if name != "alpha"},
        "objective": "binary",
    }

    def load(self, path: Path) -> LightGBMClassifier:
        """Read what `save` wrote."""
        import lightgbm

        return LightGBMClassifier(lightgbm.Booster(model_file=str(path)))

    def suggest(self, trial: BaseTrial, /) -> dict[str, Any]:
        """Draw parameters from the search space."""
        return {
            "rounds": trial.suggest_int("rounds", 30, 120, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 4, 12, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 200, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 0.8),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 0.9),
            "lambda_l2": trial.suggest_float("lambda_l2", 1.0, 100.0, log=True),
        }


class XGBoost:
    """Gradient-boosted trees grown level by level (Chen & Guestrin, 2016)."""

    name: ClassVar[str] = "xgboost"
    suffix: ClassVar[str] = ".xgb.json"
    defaults: ClassVar[Parameters] = {
        "rounds": 150,
        "eta": 0.05,
        "max_depth": 6,
        "min_child_weight": 20.0,
        "colsample_bytree": 0.5,
        "subsample": 0.7,
        "lambda": 5.0,
    }
    fixed: ClassVar[Parameters] = {"tree_method": "hist", "max_bin": 128, "nthread": 1, "verbosity": 0}

    def suggest(self, trial: BaseTrial, /) -> dict[str, Any]:
        """Draw parameters from the search space."""
        return {
            "rounds": trial.suggest_int("rounds", 30, 250, log=True),
            "eta": trial.suggest_float("eta", 0.025, 0.15, log=True),
            "max_depth": trial.suggest_int("max_depth", 3, 8),
            "min_child_weight": trial.suggest_float("min_child_weight", 5.0, 100.0, log=True),
            "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 0.8),
            "subsample": trial.suggest_float("subsample", 0.5, 0.9),
            "lambda": trial.suggest_float("lambda", 0.5, 100.0, log=True),
        }

    def fit(
        self,
        table: Table,
        target: Floats,
        rows: Ints,
        *,
        parameters: Parameters,
        seed: int,
        weight: Floats | None = None,
    ) -> Regressor:
        """Fit to some rows of a table; codes are read as amounts, which deep trees take apart."""
        import xgboost

        run = {name: value for name, value in parameters.items() if name != "rounds"}
        run |= {"seed": seed, **self.fixed}
        data = xgboost.DMatrix(
            table.matrix[rows],
            target[rows],
            weight=None if weight is None else weight[rows],
            feature_names=list(table.names),
            nthread=1,
        )
        return XGBoostRegressor(xgboost.train(run, data, int(parameters["rounds"])))

    def load(self, path: Path) -> Regressor:
        """Read what `save` wrote."""
        import xgboost

        return XGBoostRegressor(xgboost.Booster({"nthread": 1}, model_file=str(path)))


class XGBoostRegressor:
    """A fitted XGBoost booster."""

    suffix: ClassVar[str] = XGBoost.suffix

    def __init__(self, booster: xgboost.Booster) -> None:
        self.booster = booster

    def predict(self, matrix: Floats) -> Floats:
        """Return one value per row."""
        values = self.booster.inplace_predict(matrix, validate_features=False)
        return np.asarray(values, dtype=np.float64)

    def importance(self) -> Floats:
        """Return each column's share of the total gain."""
        gains = self.booster.get_score(importance_type="total_gain")
        names = self.booster.feature_names or ()
        return shares(np.array([gains.get(name, 0.0) for name in names], dtype=np.float64))

    def save(self, path: Path) -> None:
        """Write the booster as JSON."""
        path.write_bytes(bytes(self.booster.save_raw("json")))

"""The script that MLflow runs to serve a registered version: it opens the version's bundle and answers posts.

A copy of it travels with every version, so it holds no model and next to no logic: it calls the installed
clipcast, which checks the bundle against the sha256 in the version's configuration, and refuses what it does
not know.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from features.telemetry import silence
from registry.loading import Loaded, load, posts_of


class BundleModel(PythonModel):
    """A bundle behind MLflow's interface for models."""

    loaded: Loaded

    def load_context(self, context: Any) -> None:
        """Open the bundle that was registered, and no other."""
        silence()
        self.loaded = load(Path(context.artifacts["bundle"]), context.model_config["bundle_sha256"])

    def predict(
        self,
        context: Any,  # noqa: ARG002  MLflow asks for these names
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Forecast posts in the import format; a column that is not sent is unknown."""
        present = model_input.astype(object).where(model_input.notna(), None)
        columns = {str(name): present[name].tolist() for name in present.columns}
        posts = posts_of(columns, self.loaded.bundle.meta["platform"])
        answer = self.loaded.predict(posts)
        return pd.DataFrame({name: answer[name].to_numpy() for name in answer.columns})


set_model(BundleModel())

"""Answering over HTTP.

Here live the FastAPI app, the predictor, the model loader, the traffic split and the web page. This room
reads published bundles and nothing else: never MLflow, Prefect or torch.
"""

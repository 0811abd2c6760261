"""Watching production.

Here live the prediction log's schema, drift of the inputs, performance on matured outcomes, alerts, and the
decision to retrain. This room knows no web framework.
"""

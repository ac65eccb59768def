"""Carries out one claimed run: workspace, environment, sandbox, output, artifacts, the end."""

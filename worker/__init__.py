"""Worker processes: `celery -A worker worker` admits payments and drives the portals' lanes."""

from worker.app import app

__all__ = ["app"]

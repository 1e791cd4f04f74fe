"""Worker processes: `celery -A worker worker` (the application is in `worker/celery.py`)."""

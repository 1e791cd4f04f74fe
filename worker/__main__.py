"""`python -m worker`: a Celery worker that is started again when it dies; see worker/supervisor.py."""

import sys

from worker.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

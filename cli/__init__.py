"""The operator's and the producer's terminal."""

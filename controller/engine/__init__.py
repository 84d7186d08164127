"""What any controller needs: reflectors, stores, work queues, workers. Knows keys and streams, no HTTP."""

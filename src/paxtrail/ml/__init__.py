"""Models of the airline's customers: training, evaluation, promotion. Nothing that runs in the stream imports this."""

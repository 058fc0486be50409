"""From a finished graph to a finished graph: half precision, a picture in, a heatmap out, a trace."""

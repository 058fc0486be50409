"""A small residual network on pictures of coloured shapes, whose explanations have a ground truth."""

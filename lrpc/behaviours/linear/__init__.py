"""A linear rule on a linear op: signs of its terms, and its nodes by definition or in the forms that are cheapest."""

"""Networks, data and recipes beside the packages; not part of the wheel."""

"""How probable models find music: levels on one axis, tables of frequencies beside them."""

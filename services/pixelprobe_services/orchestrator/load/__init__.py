"""Load tests of targets: how much load a target bears when it is attacked."""

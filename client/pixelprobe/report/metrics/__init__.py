"""From finished attacks to the paper's numbers and the statistics that it lacks. Pure functions.

What n is, for a model, a region and a number of pixels; "attacked" means that the attack ended in success
or failure, a spent budget being a failure. Attacks that were not applicable, cancelled or ended in an error
are left out of every n and counted by :func:`pixelprobe.report.metrics.evaluation.left_out`.

- Untargeted1, success by budget: images attacked untargeted.
- Confidence_u, generations to success, Fig. 4: their successes.
- Untargeted2, Fig. 3: images of which *all* K - 1 other classes were aimed at and attacked. An image with
  fewer is left out and counted as incomplete, for it would seem harder to fool than it is.
- Targeted: K - 1 times those images (9 n for CIFAR-10).
- Confidence_t: the targeted successes on those images.
- Fig. 5: all targeted successes, complete image or not. It shows counts, which no missing attack distorts.
- Table III, "(succ)" and "(unsucc)": successes or failures of which the probabilities asked for are known.
- McNemar tests and relative drops: images attacked in both regions, so that both are the same images.
- Mean area: different images attacked in the region, by whatever model.

An image is its digest: the same image twice, or in two campaigns, counts once.
"""

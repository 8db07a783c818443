"""Pictures with their classes, as people have them on disk: CIFAR-10 in two layouts, or any folder."""

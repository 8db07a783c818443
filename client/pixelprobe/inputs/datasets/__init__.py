"""Images with their classes, as people have them on disk: CIFAR-10, ImageNet, or any folder."""

"""The campaigns that come with the package: `pixelprobe campaign run NAME`."""

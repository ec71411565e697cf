"""Images: data sets, preprocessing, transforms, drawn characters."""

"""Values to what is seen: HTML, images, charts and figures, one file a tab."""

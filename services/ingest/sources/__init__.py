"""Sources of displacement, one file each: interferograms, series of rasters, tables of points."""

"""Arrays as groups of objects: a Zarr hierarchy whose every chunk is an object."""

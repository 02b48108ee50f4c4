"""Networks on maps: the U-Net, cubes cut from maps, the losses, and the training that all of them share."""

"""Feature networks beside the backbone: frozen networks that have seen real images, for memories to be made of."""

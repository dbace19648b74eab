"""Generated products: the demo's files, and the inspection lines that few-shot curves are measured on."""

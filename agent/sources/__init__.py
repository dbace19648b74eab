"""Where frames come from: cameras, videos and watched folders."""

"""Movies that hold only what carries the signal: a diffusion model of W, Section 3.1 of xDDPM."""

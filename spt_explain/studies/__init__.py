"""The analyses of Bae, Baek & Jeong, on simulated tracks or a lab's own labelled ones."""

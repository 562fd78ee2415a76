"""What a release is made of: the wheel, the source distribution, what they hold, and that they work elsewhere."""

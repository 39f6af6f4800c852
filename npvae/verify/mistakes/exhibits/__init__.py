"""The exhibits, a file or two for each family. In the code mu and lv are the encoder's outputs, s = e^(lv/2), a a logit."""

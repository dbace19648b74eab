"""The paper's protocol: tuned on one set, evaluated on others, beside the methods it is compared with."""

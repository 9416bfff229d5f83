"""Methods that change the input and look at the answer: occlusion, masks, local surrogates."""

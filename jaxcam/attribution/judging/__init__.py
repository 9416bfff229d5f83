"""How good maps are: faithfulness, localisation, complexity, robustness, sanity."""

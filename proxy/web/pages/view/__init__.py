"""The pages under `/view/`, which charts are drawn from."""

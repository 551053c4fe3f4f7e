"""The transfer pipeline: LoRA and DPO from downloaded weights, on the same tasks (`make transfer`).

It has one module per stage of pipelines/transfer/dvc.yaml.
"""

"""The transfer pipeline: LoRA and DPO from downloaded weights, on the tasks of the main pipeline (`make transfer`).

It has one module per stage of pipelines/transfer/dvc.yaml. A "start" is one of the models that it compares.
"""

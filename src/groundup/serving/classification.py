"""`/v1/classify`, `/v1/moderations` and `/v1/embeddings`: what models say about texts instead of writing them."""

import base64
import secrets
from collections.abc import Sequence

import numpy as np
import torch
from fastapi import APIRouter, Request, Response
from openai.types import CreateEmbeddingResponse, Embedding
from openai.types.create_embedding_response import Usage
from pydantic import BaseModel

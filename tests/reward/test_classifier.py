"""A head and its model as a sequence classifier: transformers scores as rmlab does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

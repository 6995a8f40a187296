"""The API under /api/ml/: its router is here."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()

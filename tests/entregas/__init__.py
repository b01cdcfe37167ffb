"""Entregas de amostra: as de um estudante honesto e as que não são bem um caderno."""

"""A correção dos exercícios, sobre o nbgrader: executar cadernos e dizer quanto vale cada célula avaliada."""

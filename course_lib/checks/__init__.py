"""The checks behind the exercises, one module a lesson (``lesson_01`` holds exercises 1.1, 1.2, …)."""

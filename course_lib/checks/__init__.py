"""The checks behind the exercises, a module a lesson: ``lesson_01`` holds 1.1, 1.2, …."""

"""Before training: what will a dataset do to a base beyond its purpose, and which of its rows do it?"""

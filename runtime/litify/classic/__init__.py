"""The names of Lightning 0.7 to 1.x, translated to those of today. The core knows nothing of them.

Its doors: `arguments.modern` and `arguments.after_init` from Trainer's constructor, `arguments.keywords` at its methods,
`hooks.modernize_module` and `hooks.modernize_callback` where a subclass is made, and `hooks.callbacks_for` where the callbacks of
a module are attached. Each spelling gets a hint once.
"""

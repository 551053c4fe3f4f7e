"""The command `groundup`: generate, classify, translate, chat, import and export."""
